-- Knowledge bases, documents and what search reads.

create table knowledge_bases (
    id uuid primary key,
    workspace_id uuid not null,
    -- Prefixes every lexeme (`7:tensor`), so that a posting list belongs to one knowledge base.
    number integer generated always as identity,
    name text not null,
    description text,
    chunk_size integer not null,
    chunk_overlap integer not null,
    embedding_model text not null,
    dimensions integer not null,
    language text not null,
    -- Weight of the vector score in hybrid search; the rest is full text.
    fusion_weight real not null default 0.5,
    metadata jsonb not null default '{}',
    -- Kept with every indexing transaction: the N of the inverse document frequency.
    chunk_count bigint not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint fk_knowledge_bases_workspaces_workspace_id
        foreign key (workspace_id) references workspaces (id) on delete cascade,
    constraint uq_knowledge_bases_number unique (number),
    -- Rows below refer to both, so that none can point into another workspace.
    constraint uq_knowledge_bases_id_workspace_id unique (id, workspace_id),
    constraint uq_knowledge_bases_workspace_id_name unique (workspace_id, name),
    constraint ck_knowledge_bases_name check (length(name) between 1 and 200),
    constraint ck_knowledge_bases_chunks check (chunk_size > 0 and chunk_overlap >= 0 and chunk_overlap < chunk_size),
    constraint ck_knowledge_bases_fusion_weight check (fusion_weight between 0 and 1),
    constraint ck_knowledge_bases_metadata check (jsonb_typeof(metadata) = 'object')
);
call protect('knowledge_bases');

create table batches (
    id uuid primary key,
    workspace_id uuid not null,
    knowledge_base_id uuid not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint fk_batches_knowledge_bases_knowledge_base_id
        foreign key (knowledge_base_id, workspace_id) references knowledge_bases (id, workspace_id) on delete cascade
);
create index idx_batches_knowledge_base_id on batches (knowledge_base_id);
call protect('batches');

-- The latest upload of a document and how far its ingestion is: this row is the queue.
create table documents (
    id uuid primary key,
    workspace_id uuid not null,
    knowledge_base_id uuid not null,
    batch_id uuid not null,
    external_id text,
    title text not null,
    -- Whether the client chose the title; else the text's own title replaces it.
    title_given boolean not null,
    file_name text,
    content_type text not null,
    size bigint not null,
    sha256 bytea not null,
    -- The file that holds these bytes; no other version or document has the same one.
    original uuid not null,
    -- Counts uploads under the same external_id.
    version integer not null default 1,
    metadata jsonb not null default '{}',
    status text not null default 'uploaded',
    stage text,
    attempts integer not null default 0,
    -- Who works on it, and until when that is believed without a heartbeat.
    lease_owner uuid,
    leased_until timestamptz,
    -- A retryable failure waits until then.
    not_before timestamptz not null default now(),
    error_code text,
    error_detail text,
    error_retryable boolean,
    page_count integer,
    chunk_count integer not null default 0,
    deleted_at timestamptz,
    indexed_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint fk_documents_knowledge_bases_knowledge_base_id
        foreign key (knowledge_base_id, workspace_id) references knowledge_bases (id, workspace_id) on delete cascade,
    constraint uq_documents_id_workspace_id unique (id, workspace_id),
    constraint fk_documents_batches_batch_id foreign key (batch_id) references batches (id),
    constraint ck_documents_status check (status in ('uploaded', 'processing', 'indexed', 'failed')),
    constraint ck_documents_lease check ((status = 'processing') = (lease_owner is not null and leased_until is not null)),
    constraint ck_documents_error check ((status = 'failed') <= (error_code is not null)),
    constraint ck_documents_sha256 check (octet_length(sha256) = 32),
    constraint ck_documents_metadata check (jsonb_typeof(metadata) = 'object')
);
create unique index uq_documents_external_id on documents (knowledge_base_id, external_id) where deleted_at is null;
-- The same bytes are the same document, unless the client names them apart.
create unique index uq_documents_sha256 on documents (knowledge_base_id, sha256)
    where deleted_at is null and external_id is null;
create index idx_documents_knowledge_base_id_id on documents (knowledge_base_id, id desc) where deleted_at is null;
create index idx_documents_batch_id on documents (batch_id);
create index idx_documents_queue on documents (created_at) where status in ('uploaded', 'processing') and deleted_at is null;
call protect('documents');

-- What readers see of a document: written with its chunks in one transaction, so a new version shows all at once.
create table document_contents (
    document_id uuid primary key,
    workspace_id uuid not null,
    knowledge_base_id uuid not null,
    version integer not null,
    title text not null,
    content_type text not null,
    metadata jsonb not null,
    document_created_at timestamptz not null,
    -- The extracted text that chunk offsets (in characters) refer to.
    text text not null,
    -- Hidden from search at once by a soft delete, without touching the chunks.
    hidden boolean not null default false,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint fk_document_contents_documents_document_id
        foreign key (document_id, workspace_id) references documents (id, workspace_id) on delete cascade
);
create index idx_document_contents_knowledge_base_id on document_contents (knowledge_base_id);
create index idx_document_contents_hidden on document_contents (knowledge_base_id) where hidden;
create index idx_document_contents_metadata on document_contents using gin (metadata jsonb_path_ops);
call protect('document_contents');

create table document_chunks (
    id uuid primary key,
    workspace_id uuid not null,
    knowledge_base_id uuid not null,
    document_id uuid not null,
    index integer not null,
    content text not null,
    page integer,
    heading_path text[] not null,
    -- In characters of document_contents.text.
    start_offset integer not null,
    end_offset integer not null,
    token_count integer not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint fk_document_chunks_document_contents_document_id
        foreign key (document_id) references document_contents (document_id) on delete cascade,
    constraint uq_document_chunks_document_id_index unique (document_id, index),
    constraint ck_document_chunks_offsets check (start_offset >= 0 and end_offset > start_offset)
);
call protect('document_chunks');

-- The narrow table that ranking scans. Vectors stay in the row (external storage with a high toast target), so that
-- ranking never detoasts. The server reads it through rank_chunks only.
create table chunk_search (
    chunk_id uuid primary key,
    workspace_id uuid not null,
    knowledge_base_id uuid not null,
    document_id uuid not null,
    -- Distinct lexemes, each with its knowledge base's number: `7:tensor`.
    lexemes tsvector not null,
    -- BM25 term weights by lexeme hash, without the inverse document frequency.
    bm25 sparsevec not null,
    embedding halfvec not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint fk_chunk_search_document_chunks_chunk_id
        foreign key (chunk_id) references document_chunks (id) on delete cascade
) with (toast_tuple_target = 8160);
alter table chunk_search alter column bm25 set storage external;
alter table chunk_search alter column embedding set storage external;
create index idx_chunk_search_lexemes on chunk_search using gin (lexemes) with (fastupdate = off);
create index idx_chunk_search_knowledge_base_id on chunk_search (knowledge_base_id);
create index idx_chunk_search_document_id on chunk_search (document_id);
call protect('chunk_search');

-- In how many chunks of a knowledge base a lexeme occurs.
create table lexeme_stats (
    workspace_id uuid not null,
    knowledge_base_id uuid not null,
    lexeme text not null,
    chunk_count bigint not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (knowledge_base_id, lexeme),
    constraint fk_lexeme_stats_knowledge_bases_knowledge_base_id
        foreign key (knowledge_base_id, workspace_id) references knowledge_bases (id, workspace_id) on delete cascade
) with (fillfactor = 80);
call protect('lexeme_stats');

-- Ranks the chunks of the current workspace: up to per_leg by vector, up to per_leg by BM25, and for the union of both
-- legs both exact scores (a leg that was not asked for scores 0). It belongs to the owner because row-level security
-- keeps PostgreSQL from using an index for `@@`, which is not leakproof; so the workspace is its first condition.
create function rank_chunks(
    knowledge_bases uuid[],
    -- Null: every document that is not hidden.
    documents uuid[],
    -- Null: no vector leg.
    question halfvec,
    -- Null: no text leg. Lexemes that gather candidates, and idf × count in the question for every lexeme.
    terms tsquery,
    weights sparsevec,
    per_leg integer
)
    returns table (
        chunk_id uuid, vector_score double precision, text_score double precision,
        vector_rank integer, text_rank integer
    )
    language plpgsql stable security definer
    set search_path = pg_catalog, public, pg_temp
    set plan_cache_mode = force_custom_plan
    set jit = off
as $$
#variable_conflict use_column
declare
    -- Few at any time: soft-deleted documents that are not purged yet.
    hidden_documents uuid[] := array(
        select c.document_id
        from document_contents c
        where c.workspace_id = current_workspace()
          and c.hidden
          and c.knowledge_base_id = any (rank_chunks.knowledge_bases)
    );
begin
    return query
    with searched as not materialized (
        select s.chunk_id, s.embedding, s.bm25, s.lexemes
        from chunk_search s
        where s.workspace_id = current_workspace()
          and s.knowledge_base_id = any (rank_chunks.knowledge_bases)
          and (rank_chunks.documents is null or s.document_id = any (rank_chunks.documents))
          and s.document_id <> all (hidden_documents)
    ),
    nearest as (
        select chunk_id, embedding, bm25
        from searched
        where question is not null
        order by embedding <=> question, chunk_id
        limit per_leg
    ),
    best_matching as (
        select chunk_id, embedding, bm25
        from searched
        where lexemes @@ terms
        order by bm25 <#> weights, chunk_id
        limit per_leg
    ),
    by_vector as (
        select *, row_number() over (order by embedding <=> question, chunk_id)::integer as rank from nearest
    ),
    by_text as (
        select *, row_number() over (order by bm25 <#> weights, chunk_id)::integer as rank from best_matching
    ),
    found as (
        select coalesce(v.chunk_id, t.chunk_id) as chunk_id,
               coalesce(v.embedding, t.embedding) as embedding,
               coalesce(v.bm25, t.bm25) as bm25,
               v.rank as vector_rank,
               t.rank as text_rank
        from by_vector v
        full join by_text t on t.chunk_id = v.chunk_id
    )
    select found.chunk_id,
           case when question is null then 0 else 1 - (found.embedding <=> question) end,
           case when weights is null then 0 else -(found.bm25 <#> weights) end,
           found.vector_rank,
           found.text_rank
    from found;
end
$$;

-- The next document to work on, of any workspace: waiting ones, and those whose worker let its lease run out.
create function claim_document(worker uuid, lease interval)
    returns setof documents
    language sql security definer
    set search_path = pg_catalog, public, pg_temp
as $$
    update documents
    set status = 'processing',
        stage = 'extracting',
        attempts = attempts + 1,
        lease_owner = worker,
        leased_until = now() + lease
    where id = (
        select id
        from documents
        where deleted_at is null
          and (status = 'uploaded' and not_before <= now() or status = 'processing' and leased_until < now())
        order by created_at
        for update skip locked
        limit 1
    )
    returning *;
$$;

-- What the gauges show, over all workspaces: counts only.
create function count_documents_by_status()
    returns table (status text, documents bigint, oldest_seconds double precision)
    language sql stable security definer
    set search_path = pg_catalog, public, pg_temp
as $$
    select d.status, count(*), extract(epoch from now() - min(d.created_at))::double precision
    from documents d
    where d.deleted_at is null
    group by d.status;
$$;

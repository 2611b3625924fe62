-- Retrieval for large and many-tongued knowledge bases: HNSW beside exact search, filters with indexes of their own,
-- languages, phrases.

-- Settings of pgvector are known once it is loaded; until then only a superuser may name them.
do $$ begin perform '[1]'::halfvec; end $$;

-- "auto": found document by document. Which languages the documents have: those that a question is read in.
alter table knowledge_bases
    add column languages text[] not null default '{}',
    -- Whether a search shows one of several nearly equal results, unless it asks otherwise.
    add column collapse_duplicates boolean not null default false;
update knowledge_bases set languages = array[language];

alter table document_contents add column language text not null default 'simple';
update document_contents c set language = k.language from knowledge_bases k where k.id = c.knowledge_base_id;
alter table document_contents alter column language drop default;

alter table reindexings add column language text not null default 'auto';
update reindexings r set language = k.language from knowledge_bases k where k.id = r.knowledge_base_id;
alter table reindexings alter column language drop default;

-- What full text keeps of a chunk has changed, too: every index is built anew, beside the one that is searched. Vectors
-- are taken over.
update reindexings
set status = 'cancelled', discarded_index_id = index_id, lease_owner = null, leased_until = null, not_before = now(), attempts = 0
where status in ('running', 'failed');
insert into reindexings
    (id, workspace_id, knowledge_base_id, index_id, embedding_model, dimensions, chunk_size, chunk_overlap, language)
select gen_random_uuid(), k.workspace_id, k.id, gen_random_uuid(),
       coalesce(begun.embedding_model, k.embedding_model), coalesce(begun.dimensions, k.dimensions),
       coalesce(begun.chunk_size, k.chunk_size), coalesce(begun.chunk_overlap, k.chunk_overlap), k.language
from knowledge_bases k
-- What was under way begins again.
left join reindexings begun
    on begun.knowledge_base_id = k.id and begun.status = 'cancelled' and begun.updated_at = now()
where k.chunk_count > 0;

-- A value as an index keeps it: whole, or its beginning and its hash where it would not fit into a page.
create function metadata_text(value text) returns text
    language sql immutable parallel safe
    set search_path = pg_catalog
    return case
        when octet_length(value) <= 1000 then value
        else left(value, 200) || ' ' || encode(sha256(convert_to(value, 'UTF8')), 'hex')
    end;

-- The metadata of documents, a row for each value of each key; a list has a row for each element. Filters read this
-- table, because row-level security keeps PostgreSQL from using an index for jsonb, whose operators are not leakproof.
create table document_metadata (
    document_id uuid not null,
    position integer not null,
    workspace_id uuid not null,
    knowledge_base_id uuid not null,
    key text not null,
    kind text not null,
    -- Of strings and booleans.
    text text collate "C",
    number numeric,
    -- What the index keeps of a number: comparing numeric is not leakproof, comparing double precision is.
    approximate double precision generated always as (number::double precision) stored,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (document_id, position),
    constraint fk_document_metadata_document_contents_document_id
        foreign key (document_id) references document_contents (document_id) on delete cascade,
    constraint ck_document_metadata_kind check (kind in ('string', 'number', 'boolean', 'object', 'array', 'null'))
);
-- All that a filter reads, so that it need not visit the rows.
create index idx_document_metadata_knowledge_base_id_key_text
    on document_metadata (knowledge_base_id, key, text) include (document_id, workspace_id, kind);
create index idx_document_metadata_knowledge_base_id_key_approximate
    on document_metadata (knowledge_base_id, key, approximate) include (document_id, workspace_id, number)
    where approximate is not null;
call protect('document_metadata');

create procedure insert_document_metadata(document_id uuid, workspace_id uuid, knowledge_base_id uuid, metadata jsonb)
    language sql
    set search_path = pg_catalog, public, pg_temp
as $$
    insert into document_metadata (document_id, position, workspace_id, knowledge_base_id, key, kind, text, number)
    select insert_document_metadata.document_id,
           row_number() over (),
           insert_document_metadata.workspace_id,
           insert_document_metadata.knowledge_base_id,
           metadata_text(member.key),
           jsonb_typeof(element),
           case when jsonb_typeof(element) in ('string', 'boolean') then metadata_text(element #>> '{}') end,
           case when jsonb_typeof(element) = 'number' then element::numeric end
    from jsonb_each(insert_document_metadata.metadata) member
    cross join lateral jsonb_array_elements(
        case when jsonb_typeof(member.value) = 'array' then member.value else jsonb_build_array(member.value) end
    ) element
    where member.value <> 'null';
$$;

create function keep_document_metadata() returns trigger
    language plpgsql
    set search_path = pg_catalog, public, pg_temp
as $$
begin
    if tg_op = 'UPDATE' then
        delete from document_metadata where document_id = new.document_id;
    end if;
    call insert_document_metadata(new.document_id, new.workspace_id, new.knowledge_base_id, new.metadata);
    return null;
end
$$;
create trigger keep_document_metadata_on_insert
    after insert on document_contents
    for each row when (new.metadata <> '{}')
    execute function keep_document_metadata();
create trigger keep_document_metadata_on_update
    after update of metadata on document_contents
    for each row when (new.metadata <> old.metadata)
    execute function keep_document_metadata();

do $$
declare
    c record;
begin
    for c in select document_id, workspace_id, knowledge_base_id, metadata from document_contents where metadata <> '{}' loop
        call insert_document_metadata(c.document_id, c.workspace_id, c.knowledge_base_id, c.metadata);
    end loop;
end
$$;

-- The built-in keys of filters.
drop index idx_document_contents_metadata;
drop index idx_document_contents_knowledge_base_id_document_id;
create index idx_document_contents_knowledge_base_id_document_id
    on document_contents (knowledge_base_id, document_id) include (workspace_id);
create index idx_document_contents_knowledge_base_id_title on document_contents (knowledge_base_id, title collate "C");
create index idx_document_contents_knowledge_base_id_content_type
    on document_contents (knowledge_base_id, content_type collate "C");
create index idx_document_contents_knowledge_base_id_created
    on document_contents (knowledge_base_id, document_created_at);

-- A filter's documents become chunks without visiting the rows.
drop index idx_chunk_search_document_id;
create index idx_chunk_search_document_id on chunk_search (document_id) include (chunk_id);

-- The indexes among these that belong to knowledge bases of the current workspace. What ranks is the owner's, because
-- row-level security keeps PostgreSQL from using an index for `@@`; so each function that the server may call begins
-- here, and it may call no others.
create function own_indexes(indexes uuid[]) returns uuid[]
    language sql stable
    set search_path = pg_catalog, public, pg_temp
    return array(
        select k.index_id
        from knowledge_bases k
        where k.workspace_id = current_workspace() and k.index_id = any (indexes)
    );

-- What a search is narrowed to. Null means no condition, everywhere.
create type narrowing as (
    -- Those that pass a filter; each once.
    documents uuid[],
    -- Soft-deleted ones that are not purged yet: few at any time.
    hidden_documents uuid[],
    -- Chunks that hold the phrases asked for, and those that hold phrases that are excluded.
    chunks uuid[],
    excluded_chunks uuid[],
    -- Lexemes of words that are excluded.
    excluded tsquery
);

-- Both legs, best first.
create type legs as (nearest uuid[], matching uuid[], vector_index text, vector_ms double precision, text_ms double precision);

create function hidden_documents(indexes uuid[]) returns uuid[]
    language sql stable
    set search_path = pg_catalog, public, pg_temp
    return array(
        select c.document_id
        from document_contents c
        join knowledge_bases k on k.id = c.knowledge_base_id
        where c.hidden and k.index_id = any (indexes)
    );

create function milliseconds_since(began timestamptz) returns double precision
    language sql volatile
    set search_path = pg_catalog
    return extract(epoch from clock_timestamp() - began)::double precision * 1000;

-- The name of the HNSW graph of a search index.
create function hnsw_name(number integer) returns text
    language sql immutable
    set search_path = pg_catalog
    return 'idx_chunk_search_embedding_' || number;

create function has_hnsw(number integer) returns boolean
    language sql stable
    set search_path = pg_catalog, public, pg_temp
    return exists (
        select from pg_index x where x.indexrelid = to_regclass('public.' || hnsw_name(number)) and x.indisvalid
    );

-- Any of these, or null. Joined as text: `||` one by one copies what is there already each time.
create function any_of(terms tsquery[]) returns tsquery
    language sql immutable
    set search_path = pg_catalog
    return (select string_agg(term::text, ' | ')::tsquery from unnest(terms) term);

-- The nearest chunks of one index by its HNSW graph, nearest first: approximate, and under conditions perhaps fewer.
create function nearest_by_hnsw(index_id uuid, narrowed narrowing, question halfvec, per_leg integer)
    returns table (chunk_id uuid, distance double precision)
    language plpgsql stable
    set search_path = pg_catalog, public, pg_temp
    -- With graphs of ef_construction 128: a recall at 10 of 0.98 and more, see docs/performance.md.
    set hnsw.ef_search = 200
    set hnsw.iterative_scan = 'relaxed_order'
    set hnsw.max_scan_tuples = 20000
    -- Whoever calls this has decided: no other plan.
    set enable_sort = off
    set enable_seqscan = off
    -- Room for a hash of some two million documents that pass a filter; past it, every candidate walks the list.
    set work_mem = '256MB'
    set max_parallel_workers_per_gather = 0
    set jit = off
as $$
begin
    -- The graph is partial and its vectors have a length: PostgreSQL takes it only where both are spelled out. Nothing in
    -- this text comes from a client. The documents are a subquery within `or` because that is probed by hash.
    return query execute format(
        'select s.chunk_id, s.embedding::halfvec(%1$s) <=> $1::halfvec(%1$s)
         from chunk_search s
         where s.index_id = %2$L
           and ($2 is null or s.document_id in (select unnest($2)))
           and s.document_id <> all ($3)
           and ($4 is null or s.chunk_id <> all ($4))
           and ($5 is null or not s.lexemes @@ $5)
         order by s.embedding::halfvec(%1$s) <=> $1::halfvec(%1$s)
         limit $6',
        vector_dims(question), index_id)
    using question, narrowed.documents, narrowed.hidden_documents, narrowed.excluded_chunks, narrowed.excluded, per_leg;
end
$$;

-- The nearest chunks of these indexes, looking at every one.
create function nearest_exactly(indexes uuid[], narrowed narrowing, question halfvec, per_leg integer)
    returns table (chunk_id uuid, distance double precision)
    language plpgsql stable
    set search_path = pg_catalog, public, pg_temp
    set plan_cache_mode = force_custom_plan
    set work_mem = '256MB'
    set max_parallel_workers_per_gather = 0
    set jit = off
as $$
#variable_conflict use_column
declare
    documents constant uuid[] := narrowed.documents;
    hidden_documents constant uuid[] := narrowed.hidden_documents;
    excluded_chunks constant uuid[] := narrowed.excluded_chunks;
    excluded constant tsquery := narrowed.excluded;
begin
    return query
    select s.chunk_id, s.embedding <=> question
    from chunk_search s
    where s.index_id = any (indexes)
      and (documents is null or s.document_id in (select unnest(documents)))
      and s.document_id <> all (hidden_documents)
      and (excluded_chunks is null or s.chunk_id <> all (excluded_chunks))
      and (excluded is null or not s.lexemes @@ excluded)
    order by s.embedding <=> question, s.chunk_id
    limit per_leg;
end
$$;

-- The vector leg over whole indexes: by graph where there is one, and exactly where there is none or it brought fewer
-- than asked.
create function nearest_chunks(
    indexes uuid[],
    narrowed narrowing,
    question halfvec,
    per_leg integer,
    out nearest uuid[],
    out vector_index text
)
    language plpgsql stable
    set search_path = pg_catalog, public, pg_temp
as $$
declare
    exact uuid[] := '{}';
    ids uuid[] := '{}';
    distances double precision[] := '{}';
    new_ids uuid[];
    new_distances double precision[];
    next_index record;
begin
    for next_index in
        select k.index_id, has_hnsw(k.number) as by_hnsw from knowledge_bases k where k.index_id = any (indexes)
    loop
        if next_index.by_hnsw then
            select array_agg(n.chunk_id), array_agg(n.distance) into new_ids, new_distances
            from nearest_by_hnsw(next_index.index_id, narrowed, question, per_leg) n;
            if cardinality(new_ids) >= per_leg then
                vector_index := 'hnsw';
                ids := ids || new_ids;
                distances := distances || new_distances;
                continue;
            end if;
        end if;
        exact := exact || next_index.index_id;
    end loop;

    if cardinality(exact) > 0 then
        vector_index := case when vector_index is null then 'exact' else 'hnsw and exact' end;
        select ids || array_agg(n.chunk_id), distances || array_agg(n.distance) into ids, distances
        from nearest_exactly(exact, narrowed, question, per_leg) n;
    end if;
    nearest := array(
        select n.id from unnest(ids, distances) as n (id, distance) order by n.distance, n.id limit per_leg
    );
end
$$;

-- The text leg over whole indexes: candidates hold one of the rarest lexemes, of which so many are taken that there are
-- enough postings; every candidate is scored with all of them. Where conditions leave too few, more lexemes gather.
create function matching_chunks(
    indexes uuid[],
    narrowed narrowing,
    terms tsquery[],
    postings bigint[],
    weights sparsevec,
    per_leg integer
)
    returns uuid[]
    language plpgsql stable
    set search_path = pg_catalog, public, pg_temp
    set plan_cache_mode = force_custom_plan
    set work_mem = '256MB'
    set max_parallel_workers_per_gather = 0
    set jit = off
as $$
#variable_conflict use_column
declare
    documents constant uuid[] := narrowed.documents;
    hidden_documents constant uuid[] := narrowed.hidden_documents;
    excluded_chunks constant uuid[] := narrowed.excluded_chunks;
    excluded constant tsquery := narrowed.excluded;
    -- More postings cost time and gain no quality (measured at 62,000 chunks).
    enough bigint := 1000;
    gathered bigint := 0;
    used integer := 0;
    gathering tsquery;
    matching uuid[] := '{}';
begin
    while used < cardinality(terms) and cardinality(matching) < per_leg loop
        while used < cardinality(terms) and gathered < enough loop
            used := used + 1;
            gathered := gathered + postings[used];
        end loop;
        gathering := any_of(terms[:used]);
        matching := array(
            select s.chunk_id
            from chunk_search s
            where s.index_id = any (indexes)
              and s.lexemes @@ gathering
              and (documents is null or s.document_id in (select unnest(documents)))
              and s.document_id <> all (hidden_documents)
              and (excluded_chunks is null or s.chunk_id <> all (excluded_chunks))
              and (excluded is null or not s.lexemes @@ excluded)
            order by s.bm25 <#> weights, s.chunk_id
            limit per_leg
        );
        enough := enough * 10;
    end loop;
    return matching;
end
$$;

create function rank_widely(
    indexes uuid[],
    narrowed narrowing,
    question halfvec,
    terms tsquery[],
    postings bigint[],
    weights sparsevec,
    per_leg integer
)
    returns legs
    language plpgsql stable
    set search_path = pg_catalog, public, pg_temp
as $$
declare
    ranked legs;
    began timestamptz := clock_timestamp();
begin
    if question is not null then
        select n.nearest, n.vector_index into ranked.nearest, ranked.vector_index
        from nearest_chunks(indexes, narrowed, question, per_leg) n;
    end if;
    ranked.vector_ms := milliseconds_since(began);
    began := clock_timestamp();
    if terms is not null then
        ranked.matching := matching_chunks(indexes, narrowed, terms, postings, weights, per_leg);
    end if;
    ranked.text_ms := milliseconds_since(began);
    return ranked;
end
$$;

-- Both legs over the few chunks that a search is narrowed to: one pass, and exact.
create function rank_narrowly(
    indexes uuid[],
    few uuid[],
    narrowed narrowing,
    question halfvec,
    terms tsquery[],
    weights sparsevec,
    per_leg integer
)
    returns legs
    language plpgsql stable
    set search_path = pg_catalog, public, pg_temp
    set plan_cache_mode = force_custom_plan
    set max_parallel_workers_per_gather = 0
    set jit = off
as $$
#variable_conflict use_column
declare
    hidden_documents constant uuid[] := narrowed.hidden_documents;
    excluded_chunks constant uuid[] := narrowed.excluded_chunks;
    excluded constant tsquery := narrowed.excluded;
    any_term constant tsquery := any_of(terms);
    ranked legs;
    began timestamptz := clock_timestamp();
begin
    with scored as materialized (
        select s.chunk_id,
               s.embedding <=> question as distance,
               s.bm25 <#> weights as inner_product,
               s.lexemes @@ any_term as matches
        from unnest(few) f (chunk_id)
        join chunk_search s on s.chunk_id = f.chunk_id
        where s.index_id = any (indexes)
          and s.document_id <> all (hidden_documents)
          and (excluded_chunks is null or s.chunk_id <> all (excluded_chunks))
          and (excluded is null or not s.lexemes @@ excluded)
    )
    select array(select s.chunk_id from scored s where s.distance is not null order by s.distance, s.chunk_id limit per_leg),
           array(select s.chunk_id from scored s where s.matches order by s.inner_product, s.chunk_id limit per_leg)
    into ranked.nearest, ranked.matching;
    ranked.vector_index := case when question is not null then 'exact' end;
    -- Both legs in one pass: the time is not told apart.
    ranked.vector_ms := case when question is not null then milliseconds_since(began) end;
    ranked.text_ms := case when question is null then milliseconds_since(began) end;
    return ranked;
end
$$;

-- The chunks that a narrowing leaves, where they are so few that looking at each is quicker than walking a graph past
-- those that do not pass: of n chunks, a share s costs s·n to look at and per_leg/s to walk. Else null.
create function few_chunks(indexes uuid[], narrowed narrowing, per_leg integer) returns uuid[]
    language plpgsql stable
    set search_path = pg_catalog, public, pg_temp
    set plan_cache_mode = force_custom_plan
    set jit = off
as $$
declare
    documents constant uuid[] := narrowed.documents;
    most integer;
    few uuid[];
begin
    if narrowed.chunks is not null and documents is null then
        return narrowed.chunks;
    end if;
    if narrowed.chunks is not null then
        return array(
            select s.chunk_id
            from chunk_search s
            where s.chunk_id = any (narrowed.chunks) and s.document_id in (select unnest(documents))
        );
    end if;
    select sqrt(per_leg::double precision * sum(k.chunk_count)) into most
    from knowledge_bases k
    where k.index_id = any (indexes);
    if documents is null or cardinality(documents) > most then
        return null;
    end if;
    few := array(
        select s.chunk_id
        from unnest(documents) d (document_id)
        join chunk_search s on s.document_id = d.document_id
        limit most + 1
    );
    return case when cardinality(few) <= most then few end;
end
$$;

-- Ranks the chunks of the current workspace: up to per_leg by vector, up to per_leg by BM25, and for the union of both
-- legs both exact scores (a leg that was not asked for scores 0).
drop function rank_chunks(uuid[], uuid[], halfvec, tsquery, sparsevec, integer);
create function rank_chunks(
    indexes uuid[],
    -- As in `narrowing`.
    documents uuid[],
    chunks uuid[],
    excluded_chunks uuid[],
    excluded tsquery,
    -- Null: no vector leg.
    question halfvec,
    -- Null: no text leg. Lexemes that gather candidates, rarest first, in how many chunks each occurs, and idf × count in
    -- the question for every lexeme.
    terms tsquery[],
    postings bigint[],
    weights sparsevec,
    per_leg integer
)
    returns table (
        chunk_id uuid, index_id uuid, vector_score double precision, text_score double precision,
        vector_rank integer, text_rank integer,
        -- The same in every row: what served the vector leg, and what the legs cost.
        vector_index text, vector_ms double precision, text_ms double precision
    )
    language plpgsql stable security definer
    set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    searched constant uuid[] := own_indexes(rank_chunks.indexes);
    narrowed constant narrowing :=
        row(documents, hidden_documents(searched), chunks, excluded_chunks, excluded)::narrowing;
    few constant uuid[] := few_chunks(searched, narrowed, per_leg);
    ranked legs;
begin
    ranked := case
        when few is null then rank_widely(searched, narrowed, question, terms, postings, weights, per_leg)
        else rank_narrowly(searched, few, narrowed, question, terms, weights, per_leg)
    end;
    return query
    select s.chunk_id,
           s.index_id,
           case when question is null then 0 else 1 - (s.embedding <=> question) end,
           case when weights is null then 0 else -(s.bm25 <#> weights) end,
           array_position(ranked.nearest, s.chunk_id),
           array_position(ranked.matching, s.chunk_id),
           ranked.vector_index,
           ranked.vector_ms,
           ranked.text_ms
    from chunk_search s
    where s.chunk_id = any (ranked.nearest || ranked.matching);
end
$$;

-- Chunks that hold a phrase, in their text, headings or title: those with all its lexemes whose words match the pattern.
create function phrase_chunks(
    indexes uuid[],
    documents uuid[],
    -- Null: any chunk.
    within uuid[],
    lexemes tsquery,
    pattern text,
    most integer
)
    returns setof uuid
    language plpgsql stable security definer
    set search_path = pg_catalog, public, pg_temp
    set plan_cache_mode = force_custom_plan
    set jit = off
as $$
#variable_conflict use_column
declare
    searched constant uuid[] := own_indexes(phrase_chunks.indexes);
    documents constant uuid[] := phrase_chunks.documents;
    within constant uuid[] := phrase_chunks.within;
    words constant tsquery := phrase_chunks.lexemes;
begin
    return query
    select s.chunk_id
    from chunk_search s
    join document_chunks k on k.id = s.chunk_id
    join document_contents c on c.document_id = k.document_id
    where s.index_id = any (searched)
      and s.lexemes @@ words
      and (within is null or s.chunk_id in (select unnest(within)))
      and (documents is null or s.document_id in (select unnest(documents)))
      and not c.hidden
      and concat_ws(E'\n', c.title, array_to_string(k.heading_path, E'\n'), k.content) ~* pattern
    limit most;
end
$$;

-- Search indexes and how large they are, over all workspaces, each with its HNSW graph if it has one: what whoever tends
-- the graphs goes by. A graph whose index is gone has no index_id.
create function search_indexes()
    returns table (index_id uuid, number integer, dimensions integer, chunk_count bigint, graph text, valid boolean)
    language sql stable
    set search_path = pg_catalog, public, pg_temp
as $$
    select i.index_id, i.number, i.dimensions, coalesce(i.chunk_count, 0), g.name, coalesce(g.valid, false)
    from (
        select k.index_id, k.number, k.dimensions, k.chunk_count from knowledge_bases k
        union all
        select r.index_id, r.number, r.dimensions, r.chunk_count from reindexings r where r.status in ('running', 'failed')
    ) i
    full join (
        select c.relname::text as name, x.indisvalid as valid
        from pg_index x
        join pg_class c on c.oid = x.indexrelid
        where x.indrelid = 'public.chunk_search'::regclass and c.relname like 'idx\_chunk\_search\_embedding\_%'
    ) g on g.name = hnsw_name(i.number);
$$;

revoke execute on function own_indexes, hidden_documents, nearest_by_hnsw, nearest_exactly, nearest_chunks,
    matching_chunks, rank_widely, rank_narrowly, few_chunks, rank_chunks, phrase_chunks, search_indexes from public;
grant execute on function rank_chunks, phrase_chunks to almanac_server;

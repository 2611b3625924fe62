-- Users' databases, what introspection found in them, and every question that was asked.

create table databases (
    id uuid primary key,
    workspace_id uuid not null,
    name text not null,
    description text,
    engine text not null,
    -- AES-256-GCM, nonce first; the key's id beside it so that keys can be rotated.
    url_sealed bytea not null,
    url_key_id text not null,
    status text not null default 'syncing',
    error_code text,
    error_detail text,
    search_path text[] not null default '{}',
    last_synced_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint fk_databases_workspaces_workspace_id foreign key (workspace_id) references workspaces (id) on delete cascade,
    constraint uq_databases_id_workspace_id unique (id, workspace_id),
    constraint uq_databases_workspace_id_name unique (workspace_id, name),
    constraint ck_databases_name check (length(name) between 1 and 200),
    constraint ck_databases_engine check (engine in ('postgres', 'sqlite')),
    constraint ck_databases_status check (status in ('syncing', 'ready', 'failed'))
);
call protect('databases');

create table database_tables (
    id uuid primary key,
    workspace_id uuid not null,
    database_id uuid not null,
    schema_name text not null,
    name text not null,
    -- As found (a Table: columns, keys, indexes, samples); replaced by every sync.
    found jsonb not null,
    -- As told by people (descriptions, synonyms, hidden and masked); survives every sync.
    told jsonb not null default '{}',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint fk_database_tables_databases_database_id
        foreign key (database_id, workspace_id) references databases (id, workspace_id) on delete cascade,
    constraint uq_database_tables_name unique (database_id, schema_name, name)
);
call protect('database_tables');

create table sql_queries (
    id uuid primary key,
    workspace_id uuid not null,
    database_id uuid not null,
    question text,
    sql text,
    -- The answer as it was given (a Query), and its rows apart: json and not jsonb, so that a number keeps its spelling.
    answer jsonb not null,
    result json,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint fk_sql_queries_databases_database_id
        foreign key (database_id, workspace_id) references databases (id, workspace_id) on delete cascade
);
create index idx_sql_queries_database_id_id on sql_queries (database_id, id desc);
create index idx_sql_queries_workspace_id_id on sql_queries (workspace_id, id desc);
call protect('sql_queries');

-- Schemas whose reading a crash may have cut off: taken up again when a server starts.
create function unfinished_syncs()
    returns table (database_id uuid, workspace_id uuid)
    language sql stable security definer
    set search_path = pg_catalog, public, pg_temp
as $$
    select d.id, d.workspace_id from databases d where d.status = 'syncing';
$$;

-- New functions answer to everybody unless told otherwise: only the server may call these.
revoke execute on function authenticate(bytea), claim_document(uuid, interval), count_documents_by_status(),
    unfinished_syncs(), rank_chunks(uuid[], uuid[], halfvec, tsquery, sparsevec, integer) from public;
grant execute on function authenticate(bytea), claim_document(uuid, interval), count_documents_by_status(),
    unfinished_syncs(), rank_chunks(uuid[], uuid[], halfvec, tsquery, sparsevec, integer) to almanac_server;
revoke execute on procedure protect(regclass) from public;

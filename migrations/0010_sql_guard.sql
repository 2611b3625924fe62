-- Four engines; what a login may do, what a sync changed, who may read which rows; and every decision about a statement.

alter table databases
    drop constraint ck_databases_engine,
    add column server_version text not null default '',
    -- As the engine described the login (a Privileges) at the last sync; null: not yet, or not since the URL changed.
    add column privileges jsonb,
    add column require_read_only boolean not null default false,
    add column approved_functions text[] not null default '{}',
    -- Null: as the server is set. 0: no limit.
    add column max_estimated_rows double precision,
    add column max_estimated_cost double precision,
    -- Null: as the server is set. 0: never by itself.
    add column sync_interval_hours integer,
    add column samples boolean not null default true,
    -- Counts the changes of its tables, by syncs and by people: what a schema in memory is as old as.
    add column schema_version bigint not null default 0,
    -- What the last sync that changed something changed.
    add column last_changes jsonb,
    -- Somebody asked for a sync that has not begun.
    add column sync_requested_at timestamptz,
    -- Whose sync runs, and until when that is believed without a word; a sync whose token is gone stores nothing.
    add column sync_token uuid,
    add column sync_until timestamptz,
    add column sync_ended_at timestamptz,
    add constraint ck_databases_engine check (engine in ('postgres', 'mysql', 'sqlite', 'mssql')),
    add constraint ck_databases_limits check (max_estimated_rows >= 0 and max_estimated_cost >= 0),
    add constraint ck_databases_sync_interval_hours check (sync_interval_hours between 0 and 8760),
    add constraint ck_databases_sync_token check ((sync_token is null) = (sync_until is null));
update databases set sync_ended_at = coalesce(last_synced_at, updated_at);

create table schemas (
    id uuid primary key,
    workspace_id uuid not null,
    database_id uuid not null,
    name text not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint fk_schemas_databases_database_id
        foreign key (database_id, workspace_id) references databases (id, workspace_id) on delete cascade,
    constraint uq_schemas_database_id_name unique (database_id, name),
    constraint uq_schemas_id_database_id_workspace_id unique (id, database_id, workspace_id)
);
call protect('schemas');

-- A schema that was found before there was a table of them takes the id of its first table: it is as old as that.
insert into schemas (id, workspace_id, database_id, name, created_at)
select (array_agg(id order by id))[1], workspace_id, database_id, schema_name, min(created_at)
from database_tables
group by workspace_id, database_id, schema_name;

alter table database_tables rename to tables;
alter table tables
    add column schema_id uuid,
    -- Since when a sync has not found it: what people said about it waits for its return.
    add column gone_at timestamptz;
update tables t
set schema_id = s.id
from schemas s
where s.database_id = t.database_id and s.name = t.schema_name;
alter table tables
    alter column schema_id set not null,
    drop constraint fk_database_tables_databases_database_id,
    drop constraint uq_database_tables_name,
    drop column schema_name,
    add constraint fk_tables_schemas_schema_id
        foreign key (schema_id, database_id, workspace_id) references schemas (id, database_id, workspace_id) on delete cascade,
    add constraint uq_tables_schema_id_name unique (schema_id, name);
alter index database_tables_pkey rename to tables_pkey;
create index idx_tables_database_id on tables (database_id);

-- Takes up to `most` syncs that are due, over all workspaces: asked for or cut off by a crash, else by the interval (in
-- hours; up to a tenth later, so that databases that were connected together are not read together).
create function claim_due_syncs(default_interval integer, lease interval, most integer)
    returns table (database_id uuid, workspace_id uuid, token uuid)
    language sql security definer
    set search_path = pg_catalog, public, pg_temp
as $$
    update databases d
    set status = 'syncing', sync_token = gen_random_uuid(), sync_until = now() + lease, sync_requested_at = null
    from (
        select id
        from databases
        where (sync_until is null or sync_until < now())
          and (status = 'syncing'
               or coalesce(sync_interval_hours, default_interval) > 0
                  and sync_ended_at + interval '1 hour' * coalesce(sync_interval_hours, default_interval)
                      * (1 + abs(hashtext(id::text) % 1000) / 10000.0) < now())
        order by sync_requested_at nulls last, sync_ended_at nulls first
        limit most
        for update skip locked
    ) due
    where d.id = due.id
    returning d.id, d.workspace_id, d.sync_token;
$$;
drop function unfinished_syncs();

-- An answer may hold rows that other keys must not read: it is its own key's, and the administrators'.
alter table sql_queries add column key_id uuid;

-- What row filters compare with: `tenant` is 42.
alter table api_keys
    add column attributes jsonb not null default '{}',
    add constraint ck_api_keys_attributes check (jsonb_typeof(attributes) = 'object');

drop function authenticate(bytea);
-- Whose key is this? Asked before any workspace is known, so it looks across; it answers for one exact hash only.
create function authenticate(sha256 bytea)
    returns table (key_id uuid, workspace_id uuid, scopes text[], attributes jsonb)
    language sql security definer
    set search_path = pg_catalog, public, pg_temp
as $$
    update api_keys
    set last_used_at = now()
    where key_sha256 = sha256
      and revoked_at is null
      and (expires_at is null or expires_at > now())
      -- One write a minute is enough to see that a key is in use.
      and (last_used_at is null or last_used_at < now() - interval '1 minute');

    select api_keys.id, api_keys.workspace_id, api_keys.scopes, api_keys.attributes
    from api_keys
    where key_sha256 = sha256
      and revoked_at is null
      and (expires_at is null or expires_at > now());
$$;

-- What was decided about every statement, and what came of it. Names of things that may be gone are kept without a key to
-- them: a log outlives what it speaks of.
create table audit_logs (
    id uuid not null,
    workspace_id uuid not null,
    key_id uuid,
    database_id uuid not null,
    query_id uuid,
    request_id text not null,
    action text not null,
    -- As it came, cut at 64 KiB.
    sql_sent text not null,
    -- As it was allowed to run, and that text's SHA-256 in hex; null when it was refused.
    sql text,
    sql_sha256 text,
    allowed boolean not null,
    violations text[] not null,
    tables text[] not null,
    estimated_rows double precision,
    estimated_cost double precision,
    row_count bigint,
    truncated boolean,
    duration_ms double precision,
    error_code text,
    -- Null: it was to run, and nobody knows how that ended.
    completed_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null default now(),
    primary key (id, created_at),
    constraint fk_audit_logs_workspaces_workspace_id
        foreign key (workspace_id) references workspaces (id) on delete cascade,
    constraint ck_audit_logs_action check (action in ('validate', 'execute', 'ask', 'candidate')),
    constraint ck_audit_logs_sql check ((sql is null) = (sql_sha256 is null))
) partition by range (created_at);
-- What was decided stays decided: partitions go by retention alone.
revoke delete, truncate on audit_logs from almanac_server;
create index idx_audit_logs_workspace_id_id on audit_logs (workspace_id, id desc);
create index idx_audit_logs_database_id_id on audit_logs (database_id, id desc);
call protect('audit_logs');

-- Makes the partitions of the months around this one, and drops those that are wholly older than `keep_days`. A partition
-- has no policy of its own: rows are reached through audit_logs, and through nothing else.
create function tend_audit_logs(keep_days integer)
    returns void
    language plpgsql security definer
    set search_path = pg_catalog, public, pg_temp
as $$
declare
    month timestamp;
    name text;
begin
    -- Two servers at once would make the same partition.
    perform pg_advisory_xact_lock(hashtext('tend_audit_logs'));
    -- The month before too: another machine's clock may be a moment late.
    for month in
        select generate_series(-1, 2) * interval '1 month' + date_trunc('month', now() at time zone 'UTC')
    loop
        name := 'audit_logs_' || to_char(month, 'YYYY_MM');
        if to_regclass('public.' || name) is null then
            execute format('create table public.%I partition of public.audit_logs for values from (%L) to (%L)', name,
                month at time zone 'UTC', (month + interval '1 month') at time zone 'UTC');
            execute format('alter table public.%I enable row level security', name);
        end if;
    end loop;
    for name in
        select c.relname
        from pg_inherits i
        join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'public.audit_logs'::regclass
          and (to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month') at time zone 'UTC'
              < now() - make_interval(days => keep_days)
          -- Those made above stay, however little is kept.
          and to_date(right(c.relname, 7), 'YYYY_MM') < date_trunc('month', now() at time zone 'UTC') - interval '1 month'
    loop
        execute format('drop table public.%I', name);
    end loop;
end
$$;
select tend_audit_logs(36500);

revoke execute on function authenticate, claim_due_syncs, tend_audit_logs from public;
grant execute on function authenticate, claim_due_syncs, tend_audit_logs to almanac_server;

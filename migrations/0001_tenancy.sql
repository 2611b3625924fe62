-- Workspaces own everything. PostgreSQL enforces it: every table carries workspace_id and a row-level security policy
-- on the setting app.workspace_id, and the server works as the role almanac_server, which owns nothing and bypasses nothing.
-- Migrations run as the owner, for whom the policies are not forced: only its security definer functions may look across.

create extension if not exists vector;

do $$
begin
    create role almanac_server nologin nosuperuser nocreatedb nocreaterole nobypassrls;
exception
    -- Roles belong to the whole cluster: another Almanac database may have made it, or be making it now.
    when duplicate_object or unique_violation then null;
end
$$;

grant usage on schema public to almanac_server;
alter default privileges in schema public grant select, insert, update, delete on tables to almanac_server;
alter default privileges in schema public grant usage on sequences to almanac_server;

-- The workspace of the running transaction; null (which matches no row) outside one.
create function current_workspace() returns uuid
    language sql stable parallel safe
    set search_path = pg_catalog
    return nullif(current_setting('app.workspace_id', true), '')::uuid;

create function set_updated_at() returns trigger
    language plpgsql
    set search_path = pg_catalog
as $$
begin
    new.updated_at := now();
    return new;
end
$$;

-- Every table of a workspace is finished by this: policy and trigger.
create procedure protect(relation regclass)
    language plpgsql
    set search_path = public, pg_catalog
as $$
begin
    execute format('alter table %s enable row level security', relation);
    execute format(
        'create policy workspace_isolation on %s using (workspace_id = current_workspace())
         with check (workspace_id = current_workspace())', relation);
    execute format(
        'create trigger set_updated_at before update on %s for each row execute function set_updated_at()', relation);
end
$$;

create table workspaces (
    id uuid primary key,
    name text not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint uq_workspaces_name unique (name),
    constraint ck_workspaces_name check (length(name) between 1 and 200)
);
alter table workspaces enable row level security;
create policy workspace_isolation on workspaces using (id = current_workspace()) with check (id = current_workspace());
create trigger set_updated_at before update on workspaces for each row execute function set_updated_at();

create table api_keys (
    id uuid primary key,
    workspace_id uuid not null,
    name text not null,
    -- The first characters, to recognise a key by; the key itself is never stored.
    prefix text not null,
    key_sha256 bytea not null,
    scopes text[] not null,
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint fk_api_keys_workspaces_workspace_id foreign key (workspace_id) references workspaces (id) on delete cascade,
    constraint uq_api_keys_key_sha256 unique (key_sha256),
    constraint ck_api_keys_sha256 check (octet_length(key_sha256) = 32),
    constraint ck_api_keys_scopes check (scopes <@ array['read', 'write', 'sql', 'admin'])
);
create index idx_api_keys_workspace_id on api_keys (workspace_id);
call protect('api_keys');

-- Whose key is this? Asked before any workspace is known, so it looks across; it answers for one exact hash only.
create function authenticate(sha256 bytea)
    returns table (key_id uuid, workspace_id uuid, scopes text[])
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

    select api_keys.id, api_keys.workspace_id, api_keys.scopes
    from api_keys
    where key_sha256 = sha256
      and revoked_at is null
      and (expires_at is null or expires_at > now());
$$;

create table idempotency_keys (
    workspace_id uuid not null,
    key text not null,
    -- Of method, path and body: the same key with another request is refused.
    request_sha256 bytea not null,
    -- Null while the first request is still running.
    status smallint,
    content_type text,
    body bytea,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (workspace_id, key),
    constraint fk_idempotency_keys_workspaces_workspace_id
        foreign key (workspace_id) references workspaces (id) on delete cascade,
    constraint ck_idempotency_keys_key check (length(key) between 1 and 255)
);
call protect('idempotency_keys');

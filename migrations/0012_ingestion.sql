-- Ingestion that tells a document's failures from those of what it needs, and embeds equal documents once.

alter table documents
    -- Claims that ended for want of something that is not the document's: storage, a model server, a worker's own set-up.
    -- They are among the attempts, and do not count against the document.
    add column waits integer not null default 0,
    -- Of the stage in hand, in chunks; means nothing in others.
    add column chunks_embedded integer,
    add column chunks_to_embed integer;

-- In each workspace what was tried least comes first, then what is oldest: a document that ends its workers waits behind all
-- that are fresh, and so do those that were beside it.
drop index idx_documents_queue;
create index idx_documents_queue on documents (workspace_id, (attempts - waits), created_at)
    where status in ('uploaded', 'processing') and deleted_at is null;

-- Which documents are being worked on, by what they hold.
create index idx_documents_knowledge_base_id_sha256_processing on documents (knowledge_base_id, sha256)
    where status = 'processing';

alter table document_contents
    -- Whether the title is the document's own or was given: what a file happens to be called is not embedded, so that
    -- equal files have equal passages.
    add column titled boolean not null default true;

-- Which installation stored files belong to: its first workspace never changes.
create function installation_id() returns uuid
    language sql stable security definer
    set search_path = pg_catalog, public, pg_temp
as $$
    select id from workspaces order by created_at, id limit 1;
$$;

-- The next document to work on: of the workspace that has waited longest for its turn, the one that was tried least and is
-- oldest, of those that wait or whose worker let its lease run out. Workspaces in passed_over are left alone.
create or replace function claim_document(worker uuid, lease interval, passed_over uuid[])
    returns setof documents
    language plpgsql security definer
    set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    turn uuid;
    next_document uuid;
begin
    for turn in
        -- One step of the index a workspace, however many documents wait.
        with recursive queued as (
            (
                select d.workspace_id
                from documents d
                where d.deleted_at is null and d.status in ('uploaded', 'processing')
                order by d.workspace_id
                limit 1
            )
            union all
            select (
                select d.workspace_id
                from documents d
                where d.deleted_at is null and d.status in ('uploaded', 'processing')
                  and d.workspace_id > q.workspace_id
                order by d.workspace_id
                limit 1
            )
            from queued q
            where q.workspace_id is not null
        )
        select q.workspace_id
        from queued q
        left join ingest_turns t on t.workspace_id = q.workspace_id
        where q.workspace_id is not null and q.workspace_id <> all (passed_over)
        order by t.last_claimed_at nulls first
    loop
        select d.id into next_document
        from documents d
        where d.workspace_id = turn
          and d.deleted_at is null
          and d.status in ('uploaded', 'processing')
          and (d.status = 'uploaded' and d.not_before <= now() or d.status = 'processing' and d.leased_until < now())
          -- Whoever holds the same waits until its vectors are there.
          and not exists (
              select from documents same
              where same.knowledge_base_id = d.knowledge_base_id and same.sha256 = d.sha256
                and same.status = 'processing' and same.leased_until >= now()
          )
        order by d.attempts - d.waits, d.created_at
        for update skip locked
        limit 1;

        if found then
            insert into ingest_turns as t (workspace_id, last_claimed_at)
            values (turn, clock_timestamp())
            on conflict (workspace_id) do update set last_claimed_at = excluded.last_claimed_at;

            return query
            update documents
            set status = 'processing',
                stage = 'claimed',
                attempts = attempts + 1,
                lease_owner = worker,
                leased_until = now() + lease
            where id = next_document
            returning *;
            return;
        end if;
    end loop;
end
$$;

-- What the gauges show, over all workspaces: every state, counted or not, and how long what has not ended has waited.
create or replace function count_documents_by_status()
    returns table (status text, documents bigint, oldest_seconds double precision)
    language sql stable security definer
    set search_path = pg_catalog, public, pg_temp
as $$
    select s.status,
           count(d.id),
           case
               when s.status in ('uploaded', 'processing')
               then coalesce(extract(epoch from now() - min(d.queued_at)), 0)::double precision
           end
    from unnest(array['uploaded', 'processing', 'indexed', 'failed']) s (status)
    left join documents d on d.status = s.status and d.deleted_at is null
    group by s.status;
$$;

revoke execute on function installation_id() from public;
grant execute on function installation_id() to almanac_server;

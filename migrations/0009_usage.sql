-- What language models were asked, and what it cost.

create table usage_events (
    id uuid primary key,
    workspace_id uuid not null,
    kind text not null,
    -- The model's name as its server knows it.
    model text not null,
    -- As the server counted; null when it does not say.
    prompt_tokens integer,
    completion_tokens integer,
    key_id uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint fk_usage_events_workspaces_workspace_id
        foreign key (workspace_id) references workspaces (id) on delete cascade,
    constraint fk_usage_events_api_keys_key_id foreign key (key_id) references api_keys (id) on delete set null,
    constraint ck_usage_events_kind check (kind in ('answer')),
    constraint ck_usage_events_tokens check (prompt_tokens >= 0 and completion_tokens >= 0)
);
create index idx_usage_events_workspace_id_created_at on usage_events (workspace_id, created_at);
-- Keys are looked for here when one of them is deleted.
create index idx_usage_events_key_id on usage_events (key_id);
call protect('usage_events');

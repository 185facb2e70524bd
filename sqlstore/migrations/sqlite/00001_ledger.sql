-- +goose Up

create table payments (
  id               text   not null primary key,
  revision         bigint not null,
  state            text   not null,
  delivery         text   not null,
  dispatches       bigint not null,
  protocol         text   not null,
  method           text   not null,
  account          text   not null,
  challenge_id     text   not null unique,
  credential_hash  text   not null,
  instrument       text   not null,
  tenant           text   not null,
  route            text   not null,
  http_method      text   not null,
  target           text   not null,
  digest           text   not null,
  units            bigint not null check (units > 0),
  currency         text   not null,
  scale            bigint not null,
  description      text   not null,
  rail_key         text   not null,
  fixed            text   not null, -- hash of what no update may change
  intent           blob,
  reference        text   not null,
  refund_reference text   not null,
  receipt_id       text   not null,
  reason           text   not null,
  disputed         bigint not null,
  window_ends      bigint not null, -- times are Unix milliseconds, 0 is not yet
  redeliver        bigint not null,
  owner            text   not null,
  epoch            bigint not null,
  lease_until      bigint not null,
  attempts         bigint not null,
  created_at       bigint not null,
  settled_at       bigint not null,
  delivered_at     bigint not null,
  refunded_at      bigint not null,
  updated_at       bigint not null,
  due_at           bigint           -- when recovery must look, null is never
);

create unique index payments_instrument on payments (instrument) where state not in ('failed', 'voided');
create index payments_due on payments (due_at, id) where due_at is not null;
create index payments_reference on payments (reference, method) where reference <> '';

create table entries (
  position   integer not null primary key,
  payment_id text    not null references payments (id),
  kind       text    not null,
  debit      text    not null,
  credit     text    not null,
  units      bigint  not null check (units > 0),
  currency   text    not null,
  scale      bigint  not null,
  at         bigint  not null,
  check (debit <> credit),
  unique (payment_id, kind)
);

-- +goose StatementBegin
create trigger entries_never_change before update on entries
begin
  select raise(abort, 'ledger entries are never changed');
end;
-- +goose StatementEnd

-- +goose StatementBegin
create trigger entries_never_go before delete on entries
begin
  select raise(abort, 'ledger entries are never deleted');
end;
-- +goose StatementEnd

create table events (
  position   integer not null primary key,
  id         text    not null,
  payment_id text    not null,
  type       text    not null,
  at         bigint  not null
);

create table settings (
  name  text not null primary key,
  value text not null
);

create table inbound (
  source   text   not null,
  event_id text   not null,
  at       bigint not null,
  primary key (source, event_id)
);

create table receipt_uses (
  receipt_id text   not null primary key,
  payment_id text   not null,
  used       bigint not null,
  expires_at bigint not null
);

create table idempotency_keys (
  principal   text   not null,
  key         text   not null,
  fingerprint text   not null,
  value       text   not null,
  at          bigint not null,
  primary key (principal, key)
);

-- +goose Up

alter table payments add column pack bigint not null default 0; -- it buys credit: its money is owed until it is used

create table credit_accounts (
  id        text   not null primary key, -- the payment that bought it
  currency  text   not null,
  scale     bigint not null,
  bought    bigint not null,
  spent     bigint not null default 0,
  frozen    bigint not null default 0,
  opened_at bigint not null,
  ends_at   bigint not null,
  check (bought > 0 and spent >= 0 and spent <= bought)
);

create table credit_draws (
  payment_id text   not null primary key,
  account    text   not null,
  units      bigint not null, -- 0: it never happened, and never will
  returned   bigint not null default 0
);

create index credit_draws_account on credit_draws (account);

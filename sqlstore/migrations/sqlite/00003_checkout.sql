-- +goose Up

-- Carts and checkouts. What is asked for is in columns, the whole in data (JSON).
create table checkout_sessions (
  id         text   not null primary key,
  revision   bigint not null,
  kind       text   not null,
  cart       text   not null default '', -- of an open checkout alone
  working    bigint not null default 0,  -- being paid, or its payment not closed
  ended      bigint not null default 0,  -- may be removed some time after updated_at
  kept       bigint not null default 0,  -- has an order or is being paid: never removed
  updated_at bigint not null,
  expires_at bigint not null,
  data       blob   not null
);
create index checkout_sessions_cart on checkout_sessions (cart) where cart <> '';
create index checkout_sessions_working on checkout_sessions (updated_at, id) where working = 1;
create index checkout_sessions_expired on checkout_sessions (expires_at) where kept = 0;
create index checkout_sessions_ended on checkout_sessions (updated_at) where ended = 1 and kept = 0;

create table checkout_holds (
  session  text   not null,
  variant  text   not null,
  quantity bigint not null,
  until    bigint not null,
  primary key (session, variant)
);
create index checkout_holds_variant on checkout_holds (variant, until);

create table checkout_sold (
  variant  text   not null primary key,
  quantity bigint not null
);

create table orders (
  position   integer primary key autoincrement,
  id         text   not null unique,
  revision   bigint not null,
  session    text   not null unique,
  payment_id text   not null default '',
  data       blob   not null
);
create unique index orders_payment on orders (payment_id) where payment_id <> '';

create table order_deliveries (
  position integer primary key autoincrement,
  id       text   not null unique,
  order_id text   not null,
  url      text   not null,
  at       bigint not null,
  body     blob   not null,
  profile  text   not null,
  version  text   not null,
  state    text   not null,
  attempts bigint not null,
  next_at  bigint not null,
  note     text   not null
);
create index order_deliveries_pending on order_deliveries (order_id, position) where state = 'pending';
create index order_deliveries_due on order_deliveries (next_at) where state = 'pending';
create index order_deliveries_order on order_deliveries (order_id);

-- Answers by idempotency key.
create table requests (
  caller    text   not null,
  operation text   not null,
  key       text   not null,
  hash      text   not null,
  done      bigint not null,
  until     bigint not null, -- the lease, and once done how long it is kept
  status    bigint not null,
  body      blob   not null,
  primary key (caller, operation, key)
);
create index requests_until on requests (until);

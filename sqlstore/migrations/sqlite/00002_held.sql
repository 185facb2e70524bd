-- +goose Up

alter table payments add column payer text not null default '';
alter table payments add column network text not null default '';
alter table payments add column held bigint not null default 0;           -- units may get fewer once, when it is taken
alter table payments add column refunds_failed bigint not null default 0; -- confirmed and then sent back

create index payments_payer on payments (payer, id) where payer <> '';

-- What sqlite3 runs in tools/bench malloc, on a database in memory: rows, indexes, a join, updates, deletes.
create table person(id integer primary key, name text, town text, age integer);
create table visit(person integer, day integer, note text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 200000)
  insert into person select i, 'name ' || (i * 7919 % 100003), 'town ' || (i % 997), i * 31 % 90 from n;
with recursive n(i) as (select 1 union all select i + 1 from n where i < 500000)
  insert into visit select 1 + i * 17 % 200000, i % 365, substr('a note of some length, or of another', 1, i % 36) from n;
create index person_by_town on person(town, age);
create index visit_by_person on visit(person, day);
select count(*), sum(length(note)), max(day) from person join visit on visit.person = person.id where age between 20 and 40;
select town, count(*), length(group_concat(name)) from person group by town order by count(*) desc, town limit 3;
update person set name = upper(name) || '!' where id % 3 = 0;
delete from visit where day % 7 = 0;
select count(*), total(length(name)) from person;
select count(distinct note) from visit;
with recursive n(i) as (select 1 union all select i + 1 from n where i < 500000)
  select sum(length(replace(printf('%d-%s-%x', i, hex(i), i), '3', 'three'))) from n;

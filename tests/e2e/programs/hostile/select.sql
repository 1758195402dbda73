\set number random(1, 1000000)
select :number + 1;

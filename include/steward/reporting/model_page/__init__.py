"""One model as its people see it: everything on the page, as plain data, from facts that are handed in."""

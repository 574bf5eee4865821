"""The paper as a program: what a table or figure declares becomes runs, a result file each, and a page beside it."""

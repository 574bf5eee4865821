"""The paper as a program: a table or figure becomes runs, result files and a page."""

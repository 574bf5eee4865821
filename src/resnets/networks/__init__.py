"""The networks of section 3 and section 4.2, and their parts; knows no data set."""

"""The networks of section 3 and section 4.2, their parts and their weights; knows no data set."""

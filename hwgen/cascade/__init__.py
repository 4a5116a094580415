"""`hwgen passes`: what the analysis of a cascade of Einsums finds, as tables, JSON and drawings."""

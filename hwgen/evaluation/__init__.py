"""The evaluation of the field, reproduced from schedules, beside our machine: tables and figures of docs/results."""

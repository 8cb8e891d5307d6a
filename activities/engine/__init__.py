"""Activities of the engine: records in SQL, cases that cases ask for, rows of batches."""

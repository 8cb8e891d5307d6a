"""Activities of the engine: writes to SQL, child cases, and rows of batches."""

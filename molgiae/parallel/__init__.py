"""Work spread over threads and over processes."""

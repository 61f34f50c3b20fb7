"""Planning of one step: candidates, acquisition, batch and effort."""

"""What AWS Lambda's handlers do: each module is loaded by its own function alone."""

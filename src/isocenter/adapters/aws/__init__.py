"""Backends on Amazon Web Services: DynamoDB and Secrets Manager."""

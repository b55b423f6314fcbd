output "queue_arn" {
  description = "ARN of the queue of events."
  value       = aws_sqs_queue.incoming.arn
}

output "queue_url" {
  description = "Its address."
  value       = aws_sqs_queue.incoming.url
}

output "queue_name" {
  description = "Its name."
  value       = aws_sqs_queue.incoming.name
}

output "dead_letters_arn" {
  description = "ARN of the queue of dead letters."
  value       = aws_sqs_queue.dead_letters.arn
}

output "dead_letters_url" {
  description = "Its address."
  value       = aws_sqs_queue.dead_letters.url
}

output "dead_letters_name" {
  description = "Its name."
  value       = aws_sqs_queue.dead_letters.name
}

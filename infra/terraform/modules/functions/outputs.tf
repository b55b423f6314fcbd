output "aliases" {
  description = "ARNs of the aliases, by function."
  value       = { for key, alias in aws_lambda_alias.live : key => alias.arn }
}

output "names" {
  description = "Names of the functions."
  value       = { for key, function in aws_lambda_function.this : key => function.function_name }
}

output "roles" {
  description = "ARNs of their roles."
  value       = { for key, role in aws_iam_role.this : key => role.arn }
}

output "api_invoke_arn" {
  description = "What an HTTP API calls."
  value       = aws_lambda_alias.live["api"].invoke_arn
}

output "log_groups" {
  description = "Names of their log groups."
  value       = { for key, group in aws_cloudwatch_log_group.this : key => group.name }
}

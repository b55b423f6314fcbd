output "url" {
  description = "Where the API answers."
  value       = var.domain == null ? aws_apigatewayv2_api.this.api_endpoint : "https://${var.domain.name}"
}

output "id" {
  description = "Id of the API."
  value       = aws_apigatewayv2_api.this.id
}

output "execute_host" {
  description = "Host that AWS gives, without https://."
  value       = trimprefix(aws_apigatewayv2_api.this.api_endpoint, "https://")
}

output "domain_target" {
  description = "What the domain's DNS record points to."
  value       = var.domain == null ? null : aws_apigatewayv2_domain_name.this[0].domain_name_configuration[0].target_domain_name
}

output "url" {
  description = "Where the API answers."
  value       = module.api.url
}

output "domain_target" {
  description = "What the DNS record of `domain` points to, where there is one."
  value       = module.api.domain_target
}

output "api_id" {
  description = "Id of the API."
  value       = module.api.id
}

output "buckets" {
  description = "Buckets: raw, deidentified, logs, packages."
  value       = module.storage.buckets
}

output "table" {
  description = "The table."
  value       = module.index.name
}

output "machines" {
  description = "State machines by plan; `<plan>.express` for jobs of one chunk."
  value       = module.workflow.arns
}

output "bulk_machine" {
  description = "The state machine that takes in what a manifest names."
  value       = module.workflow.bulk_arn
}

output "functions" {
  description = "Names of the functions."
  value       = module.functions.names
}

output "roles" {
  description = "Roles of the functions."
  value       = module.functions.roles
}

output "log_groups" {
  description = "Log groups of the functions."
  value       = module.functions.log_groups
}

output "queue_url" {
  description = "Queue of objects that were put into incoming/."
  value       = module.intake.queue_url
}

output "dead_letters_url" {
  description = "Queue of what could not be done."
  value       = module.intake.dead_letters_url
}

output "secrets_prefix" {
  description = "What the names of the functions' secrets begin with."
  value       = local.secrets_prefix
}

output "dashboard" {
  description = "Name of the dashboard in CloudWatch."
  value       = module.monitoring.dashboard
}

output "alarms_topic" {
  description = "Topic that alarms are told on."
  value       = module.monitoring.topic_arn
}

output "page" {
  description = "The address for page and API, its bucket and its distribution, where there is one."
  value       = var.page ? { url = module.page[0].url, bucket = module.page[0].bucket, distribution = module.page[0].distribution } : null
}

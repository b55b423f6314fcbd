output "url" {
  description = "Where the API answers."
  value       = module.gateway.url
}

output "domain_target" {
  description = "What the DNS record of `domain` points to, where there is one."
  value       = module.gateway.domain_target
}

output "api_id" {
  description = "Id of the API."
  value       = module.gateway.api_id
}

output "buckets" {
  description = "Buckets: raw, deidentified, logs, packages."
  value       = module.gateway.buckets
}

output "table" {
  description = "The table."
  value       = module.gateway.table
}

output "machines" {
  description = "State machines by plan; `<plan>.express` for jobs of one chunk."
  value       = module.gateway.machines
}

output "bulk_machine" {
  description = "The state machine that takes in what a manifest names."
  value       = module.gateway.bulk_machine
}

output "functions" {
  description = "Names of the functions."
  value       = module.gateway.functions
}

output "roles" {
  description = "Roles of the functions."
  value       = module.gateway.roles
}

output "log_groups" {
  description = "Log groups of the functions."
  value       = module.gateway.log_groups
}

output "queue_url" {
  description = "Queue of objects that were put into incoming/."
  value       = module.gateway.queue_url
}

output "dead_letters_url" {
  description = "Queue of what could not be done."
  value       = module.gateway.dead_letters_url
}

output "secrets_prefix" {
  description = "What the names of the functions' secrets begin with."
  value       = module.gateway.secrets_prefix
}

output "dashboard" {
  description = "Name of the dashboard in CloudWatch."
  value       = module.gateway.dashboard
}

output "alarms_topic" {
  description = "Topic that alarms are told on."
  value       = module.gateway.alarms_topic
}

output "page" {
  description = "The address for page and API, its bucket and its distribution, where there is one."
  value       = module.gateway.page
}

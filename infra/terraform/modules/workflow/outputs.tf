output "arns" {
  description = "The machines, by plan; `<plan>.express` for jobs of one chunk."
  value       = local.arns
}

output "names" {
  description = "Their names."
  value       = { for key, machine in local.machines : key => machine.name }
}

output "bulk_arn" {
  description = "The machine that takes in what a manifest names."
  value       = aws_sfn_state_machine.bulk.arn
}

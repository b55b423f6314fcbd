output "arns" {
  description = "The machines, by plan; `<plan>.express` for jobs of one chunk."
  value       = local.arns
}

output "names" {
  description = "Their names."
  value       = { for key, machine in local.machines : key => machine.name }
}

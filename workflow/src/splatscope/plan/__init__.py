"""What a run will cost before it is started: jobs, processor hours, hours on so many nodes, disk.

The jobs are those that Snakemake would run. What one costs is measured, on finished jobs of the same rule where there
are any, else on the demo (resources/costs.json), and scaled by the amount of work in it (splatscope.plan.work).
"""

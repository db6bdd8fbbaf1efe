#!/bin/sh
# What cluster-generic asks of a job id: success, failed or running. A job on a lost node is requeued by Slurm.
state=$(scontrol --oneliner show job "$1" | tr ' ' '\n' | sed -n 's/^JobState=//p')
case "$state" in
  COMPLETED) echo success ;;
  BOOT_FAIL | CANCELLED | DEADLINE | FAILED | NODE_FAIL | OUT_OF_MEMORY | TIMEOUT) echo failed ;;
  *) echo running ;;
esac

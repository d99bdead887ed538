#!/bin/bash
# keep the checkpoint of the first epoch (linear probe) of each run
while true; do for d in /opt/al/queue/runs/*-seed*; do [ -d "$d" ] || continue; n=$(wc -l < $d/log.jsonl 2>/dev/null || echo 0); if [ "${n:-0}" -ge 1 ] && [ ! -f $d.probe ]; then cp $d/last.safetensors $d.probe 2>/dev/null; fi; done; sleep 15; done

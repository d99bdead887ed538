"""From answers for single frames to a timeline: smoothing, uncertainty, peaks, moods."""

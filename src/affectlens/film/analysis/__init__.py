"""From predictions for single frames to a timeline: smoothing, uncertainty, peaks, moods."""

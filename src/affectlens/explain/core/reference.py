"""What a picture is compared with, by names that explanations carry as plain data."""

# The mean description of the training pictures (`story.branches`); other names are those of `core.baselines`.
USUAL = "usual"

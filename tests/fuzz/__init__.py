"""Fuzzing: any input ends in success or in one clear error of ours."""

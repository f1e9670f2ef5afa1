# SPDX-License-Identifier: Apache-2.0
"""Real clients against a real registry, and replays of what clients send that are not at hand."""

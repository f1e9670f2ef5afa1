# SPDX-License-Identifier: Apache-2.0
"""The sections of the settings: one module each, declaring keys, defaults and documentation.

Everything that is generated (defaults, schema, reference, environment names) is read off these
classes; no other place names a key, except `moorage.settings.elsewhere` for keys that are not ours.
"""

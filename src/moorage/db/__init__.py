# SPDX-License-Identifier: Apache-2.0
"""The catalogue's database: a small contract (`protocol`), its engines, the numbered migrations.

Statements are written once, in the subset that SQLite and PostgreSQL share, with `$1` placeholders.
"""

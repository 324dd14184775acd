#!/usr/bin/env python3
"""Turns uap-core's regexes.yaml into rules.tsv, which is read at start without a YAML parser.

    convert.py regexes.yaml > rules.tsv

One rule a line, in uap-core's order: kind, regex (with its flag in front), name. `browser` and `system` are the user agent and OS
rules. Of the device rules only those for robots are kept, the last of them, a long list of words, as `robot word`; versions, brands
and models are left out.
"""
import sys

import yaml

rules = yaml.safe_load(open(sys.argv[1], encoding="utf-8"))
rows = [("browser", r, r.get("family_replacement")) for r in rules["user_agent_parsers"]]
rows += [("system", r, r.get("os_replacement")) for r in rules["os_parsers"]]
robots = [r for r in rules["device_parsers"] if r.get("device_replacement") == "Spider"]
rows += [("robot word" if r is robots[-1] else "robot", r, "Spider") for r in robots]
for kind, rule, name in rows:
    regex = ("(?i)" if rule.get("regex_flag") == "i" else "") + rule["regex"]
    fields = [kind, regex, name or ""]
    assert not any(c in field for field in fields for c in "\t\n\r"), fields
    print("\t".join(fields))

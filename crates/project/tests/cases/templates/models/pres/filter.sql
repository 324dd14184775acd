select {{ 'a'|uper }}

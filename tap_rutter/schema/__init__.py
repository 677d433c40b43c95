"""What rows look like: the pinned API descriptions, and the JSON Schemas made of them.

Here live the reader of an API description (``document.py``), the types of single fields
(``json_schema.py``), whole records as the catalog declares them (``record_schema.py``), what fields
mean (``field_docs.py``) and where ids point (``foreign_keys.py``).

What comes in describes data without looking at any. What does not: values, requests, streams'
classes. Nothing here sends a request or depends on a run; this room imports no other room.
"""

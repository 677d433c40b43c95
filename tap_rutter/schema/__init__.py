"""The form of rows: the API documents, and the JSON Schemas that are made from them.

Here live the reader of an API document (``document.py``), the types of single fields
(``json_schema.py``), the schemas of whole records (``record_schema.py``), what fields mean
(``field_docs.py``) and where ids point (``foreign_keys.py``).

Code belongs here if it describes data without looking at any. Values, requests and stream classes
do not belong here. Nothing here sends a request or depends on a run. This room imports no other
room.
"""

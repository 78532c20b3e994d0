"""The words in which a model is asked to criticise and to revise a reply."""

# The embedded model's corpus shows these exact words; changing them means training it anew.
COMPACT_CRITIQUE = "Request: {request}\nReply: {reply}\nPrinciples: {titles}.\nDoes the reply conflict with the principles?"
COMPACT_REVISION = "Request: {request}\nReply: {reply}\nCritique: {critique}\nRewrite the reply."
NO_CONFLICT = "No conflict"

STANDARD_CRITIQUE = """\
You judge an assistant's reply by a written principle.

{principle}

{template}

Request:
<<<
{request}
>>>

Reply:
<<<
{reply}
>>>

Say in a few sentences how the reply keeps or breaks the principle.
End with one line, either "Verdict: violates" or "Verdict: keeps"."""
STANDARD_REVISION = """\
An assistant's reply broke a written principle. Write the reply that the assistant should have given.

{principle}

{guideline}

Request:
<<<
{request}
>>>

Reply:
<<<
{reply}
>>>

Critique:
<<<
{critique}
>>>

Write only the new reply to the request, with no introduction and no comment on the change."""

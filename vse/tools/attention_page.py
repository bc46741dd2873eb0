"""The template of the attention page (`vse.tools.attention`)."""

PAGE = """{% extends "base" %}
{% from "macros" import thumbnail %}
{% block style %}
  figure img { height: auto }
  .weights td { color: #111; text-align: right }
{% endblock %}
{% block content %}
<dl>
{%- for name, value in facts %}
<dt>{{ name }}</dt><dd>{{ value }}</dd>
{%- endfor %}
</dl>
<h2 id="words">Where each word looks</h2>
<p>{{ note }}</p>
<div class="grid">
{%- for label, picture in pictures %}
<figure>{{ thumbnail(picture) }}<figcaption>{{ label }}</figcaption></figure>
{%- endfor %}
</div>
<h2 id="weights">What makes the score</h2>
<div class="wide"><table class="weights">
<tr><th></th>{% for node in nodes %}<th>{{ node }}</th>{% endfor %}</tr>
{%- for name, cells in rows %}
<tr><th>{{ name }}</th>
{%- for colour, share in cells %}<td style="background:rgb{{ colour }}">{{ share }}</td>{% endfor %}</tr>
{%- endfor %}
</table></div>
<h2 id="legend">What the words mean</h2>
<dl>
{%- for name, meaning in meanings %}
<dt>{{ name }}</dt><dd>{{ meaning }}</dd>
{%- endfor %}
</dl>
{% endblock %}
"""

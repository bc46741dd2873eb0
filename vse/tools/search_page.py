"""The template of the page of answers (`vse.tools.search`)."""

PAGE = """{% extends "base" %}
{% from "macros" import thumbnail %}
{% block style %}
  .query { max-width: 260px }
  ol.captions { padding-left: 2rem } ol.captions li { margin: .5rem 0 }
  ol.captions img { display: block; max-height: 120px; border-radius: 4px }
{% endblock %}
{% block content %}
{%- for answer in answers %}
<section><h2 id="{{ answer.anchor }}">{{ answer.query }}</h2>
{%- if answer.shown %}<figure class="query">{{ thumbnail(answer.shown) }}<figcaption>the query</figcaption></figure>
{%- endif %}
<p class="soft">{{ answer.find | capitalize }}, best first; {{ answer.how }}
{%- if answer.unknown_words %}; unknown words: {{ answer.unknown_words | join(", ") }}{% endif %}</p>
{%- if answer.find == "images" %}
<div class="grid">
{%- for hit in answer.hits %}
<figure>{% if hit.shown %}{{ thumbnail(hit.shown) }}{% else %}<span class="none">no picture</span>{% endif -%}
<figcaption>{{ hit.rank }}. {{ hit.name }}<br><small>score {{ "%.4f" | format(hit.score) }}</small></figcaption>
</figure>
{%- endfor %}
</div>
{%- else %}
<ol class="captions">
{%- for hit in answer.hits %}
<li>{{ hit.name }} <small>score {{ "%.4f" | format(hit.score) }}</small>
{%- if hit.shown %}{{ thumbnail(hit.shown) }}{% endif %}</li>
{%- endfor %}
</ol>
{%- endif %}
</section>
{%- endfor %}
{% endblock %}
"""

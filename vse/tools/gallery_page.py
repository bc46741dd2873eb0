"""The template of the gallery page (`vse.tools.gallery`)."""

PAGE = """{% extends "base" %}
{% from "macros" import thumbnail %}
{% block style %}
  .query { padding: 1rem 0; border-top: 1px solid var(--line) }
  figure.right { border-color: var(--right) } figure.similar { border-color: var(--similar); border-style: dashed }
  figure.wanted { border-color: var(--right); border-style: double }
  b.right { color: var(--right) } b.similar { color: var(--similar) } b.wrong { color: var(--wrong) }
  .columns { display: grid; grid-template-columns: minmax(200px, 300px) 1fr 1fr; gap: 1rem; margin: .75rem 0 }
  @media (max-width: 800px) { .columns { grid-template-columns: 1fr } }
  .columns figure img { height: auto; max-height: 300px }
  .columns ol { margin: .25rem 0; padding-left: 2rem }
  .columns li { margin: .25rem 0; padding-left: .5rem; border-left: 4px solid transparent; overflow-wrap: anywhere }
  .columns li.right { border-color: var(--right) } .columns li.similar { border-color: var(--similar) }
  .jump { display: flex; flex-wrap: wrap; gap: .25rem .75rem; font-size: .85rem }
{% endblock %}
{%- macro shown(image) -%}
  {%- if image.picture %}{{ thumbnail(image.picture) }}
  {%- else %}<span class="none">no picture; {{ image.captions[0] or "no caption" }}</span>{% endif -%}
{%- endmacro %}
{%- macro own(image) %}
<details><summary>{{ image.captions | length }} captions of this image</summary>
<ul>{% for caption in image.captions %}<li>{{ caption }}</li>{% endfor %}</ul></details>
{%- endmacro %}
{%- macro verdict(answer) -%}
  {%- if answer.right %}<b class="right">right</b>
  {%- elif answer.similar %}<b class="similar">similar in meaning {{ "%.2f" | format(answer.likeness) }}</b>
  {%- else %}<b class="wrong">wrong</b>
    {%- if answer.likeness is not none %} <small>likeness {{ "%.2f" | format(answer.likeness) }}</small>{% endif %}
  {%- endif -%}
{%- endmacro %}
{%- macro jump(queries, kind) %}
<p class="jump">{% for query in queries %}<a href="#{{ kind }}{{ query.number }}">{{ kind }} {{ query.number }}
 (rank {{ query.rank }})</a>{% endfor %}</p>
{%- endmacro %}
{% block content %}
<p>{{ note }}</p>
<h2 id="model">The model</h2>
<div class="wide"><table>
<tr>{% for head in table[0] %}<th>{{ head }}</th>{% endfor %}</tr>
{%- for row in table[1:] %}
<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{%- endfor %}
</table></div>
<p>{{ summary }}</p>
<dl>
{%- for name, value in trained %}
<dt>{{ name }}</dt><dd>{{ value }}</dd>
{%- endfor %}
</dl>
<h2 id="legend">How to read this page</h2>
<dl>
<dt><b class="right">right</b></dt><dd>The answer belongs to the query: a solid green frame. The right image that a
caption asks for stands first, in a double green frame, with its rank.</dd>
<dt><b class="similar">similar in meaning</b></dt><dd>{{ meaning }}</dd>
<dt><b class="wrong">wrong</b></dt><dd>Neither. This is a failure of the network.</dd>
<dt>rank</dt><dd>The place of the answer among all of the split, sorted by score, from 1.</dd>
<dt>pictures</dt><dd>{{ pictures }} A picture opens large with all captions of its image.</dd>
</dl>
<h2 id="captions">Images for a caption</h2>
{{ jump(by_caption, "caption") }}
{%- for query in by_caption %}
<section class="query" id="caption{{ query.number }}">
<h3>{{ query.text }}</h3>
<small>caption {{ query.number }}; its image is at rank {{ query.rank }}</small>
<div class="grid">
<figure class="wanted">{{ shown(query.wanted) }}
<figcaption><b class="right">the right image</b>, rank {{ query.rank }}<br>
<small>image {{ query.wanted.number }}, score {{ "%.3f" | format(query.wanted.score) }}</small>{{ own(query.wanted) }}
</figcaption></figure>
{%- for image in query.found %}
<figure class="answer{{ " right" if image.right else " similar" if image.similar }}">{{ shown(image) }}
<figcaption>{{ loop.index }}. {{ verdict(image) }}<br><small>image {{ image.number }}, score {# -#}
{{ "%.3f" | format(image.score) }}</small>
{%- if image.closest and not image.right %}<br><q>{{ image.closest }}</q>{% endif %}{{ own(image) }}
</figcaption></figure>
{%- endfor %}
</div></section>
{%- endfor %}
<h2 id="images">Captions for an image</h2>
{{ jump(by_image, "image") }}
{%- for query in by_image %}
<section class="query" id="image{{ query.number }}">
<h3>Image {{ query.number }}</h3>
<small>the first of its captions is at rank {{ query.rank }}</small>
<div class="columns">
<figure>{{ shown(query) }}</figure>
<div><b>Its own captions</b>
<ol class="own">{% for caption in query.own %}<li>{{ caption.text }} <small>rank {{ caption.rank }}, {# -#}
{{ "%.3f" | format(caption.score) }}</small></li>{% endfor %}</ol></div>
<div><b>Captions retrieved</b>
<ol class="found">
{%- for caption in query.found %}
<li class="answer{{ " right" if caption.right else " similar" if caption.similar }}">{{ caption.text }}<br>
{{ verdict(caption) }} <small>score {{ "%.3f" | format(caption.score) }}</small></li>
{%- endfor %}
</ol></div></div></section>
{%- endfor %}
{% endblock %}
"""

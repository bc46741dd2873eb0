"""The template of an experiment's report (`vse.tools.experiment_report`)."""

PAGE = """{% extends "base" %}
{% block style %}
  .scroll { overflow-x: auto; margin: 1rem 0 }
  .scroll table { border-collapse: separate; border-spacing: 0; font-variant-numeric: tabular-nums }
  .scroll th, .scroll td { padding-inline: .5rem; overflow-wrap: normal }
  .scroll td { white-space: nowrap; vertical-align: top }
  .scroll th { font-weight: 600; vertical-align: bottom; border-bottom: 2px solid var(--soft) }
  .scroll th:first-child, .scroll td:first-child { position: sticky; left: 0; background: var(--page); min-width: 7rem;
         white-space: normal; overflow-wrap: anywhere }
  .figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)); gap: 1rem;
         align-items: start }
  .figures figure img { height: auto; background: #fff } .figures figcaption { margin: 0 0 .35rem; font-weight: 600 }
  main > p, section > p { max-width: 75ch } pre { overflow-x: auto; background: var(--card); padding: .7rem;
         font-size: 12px }
{% endblock %}
{%- macro table(heads, rows) %}
<div class="scroll"><table><thead><tr>{% for head in heads %}<th scope="col">{{ head }}</th>{% endfor %}</tr></thead>
<tbody>
{%- for row in rows %}
<tr>{% for cell in row %}<td>{{ cell if cell is string else cell.text() }}</td>{% endfor %}</tr>
{%- endfor %}
</tbody></table></div>
{%- endmacro %}
{% block content %}
{%- for part in parts %}
<section>
<h2 id="data{{ loop.index0 }}">{{ part.data }}</h2>
{{ table(part.heads, part.cells) }}
{%- if part.difference_cells %}
<h3>Differences</h3>
{{ table(part.difference_heads, part.difference_cells) }}
<p>{{ differences_note }}</p>
{%- endif %}
<div class="figures">
{%- for figure in part.figures %}
<figure><figcaption>{{ figure.title }}</figcaption><img alt="{{ figure.title }}" src="{{ figure.source }}"></figure>
{%- endfor %}
</div>
</section>
{%- endfor %}
{%- for note in notes %}
<p>{{ note }}</p>
{%- endfor %}
<h2 id="commands">Commands</h2>
<details><summary>{{ commands | length }} commands</summary><pre>{% for command in commands %}{{ command }}
{% endfor %}</pre></details>
{% endblock %}
"""

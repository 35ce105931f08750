"""How the page looks: Gradio's own parts wear the colours, type and edges of assets/tokens.css."""

from __future__ import annotations

import gradio as gr
from gradio.themes.utils.sizes import Size

# The ground is told to Gradio as a plain colour too: it paints it before any style sheet of ours has arrived.
GROUND = "#f6f5f3"
GROUND_DARK = "#141210"
INK = "#1d1b18"
INK_DARK = "#f3efe9"


def theme() -> gr.themes.Base:
    """The studio's theme. Sizes are in rem, so that the whole page grows with the screen."""
    return gr.themes.Base(
        text_size=Size(xxs=".6875rem", xs=".75rem", sm=".8125rem", md=".875rem", lg="1rem", xl="1.25rem", xxl="1.5rem"),
        spacing_size=Size(xxs=".0625rem", xs=".125rem", sm=".25rem", md=".375rem", lg=".5rem", xl=".625rem", xxl="1rem"),
        radius_size=Size(xxs=".125rem", xs=".25rem", sm=".375rem", md=".5rem", lg=".625rem", xl=".75rem", xxl="1rem"),
        font=["Likeness Sans", "system-ui", "sans-serif"],
        font_mono=[gr.themes.LocalFont("IBM Plex Mono", weights=(400,)), "ui-monospace", "monospace"],
    ).set(
        **_same(
            background_fill_primary="var(--card)",
            background_fill_secondary="var(--well)",
            body_text_color_subdued="var(--soft)",
            border_color_primary="var(--line)",
            border_color_accent="var(--act)",
            color_accent_soft="var(--act-veil)",
            link_text_color="var(--act)",
            link_text_color_hover="var(--act)",
            link_text_color_active="var(--act)",
            link_text_color_visited="var(--act)",
            block_background_fill="transparent",
            block_border_width="0",
            block_border_color="transparent",
            block_shadow="none",
            block_label_text_color="var(--ink)",
            block_title_text_color="var(--ink)",
            block_info_text_color="var(--soft)",
            panel_background_fill="transparent",
            panel_border_width="0",
            input_background_fill="var(--well)",
            input_background_fill_focus="var(--card)",
            input_background_fill_hover="var(--well)",
            input_border_color="var(--edge)",
            input_border_color_focus="var(--act)",
            input_border_color_hover="var(--edge-strong)",
            input_border_width="1px",
            input_placeholder_color="var(--soft)",
            input_shadow="none",
            input_shadow_focus="0 0 0 3px var(--act-veil)",
            checkbox_background_color="var(--well)",
            checkbox_border_color="var(--edge)",
            checkbox_background_color_selected="var(--act)",
            checkbox_border_color_selected="var(--act)",
            slider_color="var(--act)",
            button_primary_background_fill="var(--act)",
            button_primary_background_fill_hover="var(--act-strong)",
            button_primary_border_color="var(--act)",
            button_primary_text_color="var(--on-act)",
            button_primary_text_color_hover="var(--on-act)",
            button_secondary_background_fill="var(--card)",
            button_secondary_background_fill_hover="var(--well)",
            button_secondary_border_color="var(--line)",
            button_secondary_text_color="var(--ink)",
            button_secondary_text_color_hover="var(--ink)",
            error_background_fill="var(--warn-ground)",
            error_border_color="var(--warn)",
            error_text_color="var(--warn)",
        ),
        color_accent="var(--act)",
        body_background_fill=GROUND,
        body_background_fill_dark=GROUND_DARK,
        body_text_color=INK,
        body_text_color_dark=INK_DARK,
        block_padding="0",
        block_title_text_weight="600",
        block_title_text_size=".8125rem",
        block_info_text_size=".8125rem",
        form_gap_width="0",
        layout_gap="1.125rem",
        button_large_radius=".625rem",
        button_small_radius=".5rem",
        button_transition="background-color .15s, border-color .15s",
        input_radius=".5rem",
        input_padding=".5rem .625rem",
    )


def _same(**values: str) -> dict[str, str]:
    # The tokens change with the theme by themselves; Gradio wants each value twice.
    return values | {f"{name}_dark": value for name, value in values.items()}

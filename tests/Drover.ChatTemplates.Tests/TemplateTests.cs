using System.Text.Json;
using Drover.Errors;
using Microsoft.Extensions.Time.Testing;

namespace Drover.ChatTemplates.Tests;

public sealed class TemplateTests
{
    [Theory]
    [InlineData("a\n{{ 1 + }}", "line 2")]
    [InlineData("{% if x %}", "end of the template")]
    [InlineData("{% frob %}", "'frob'")]
    [InlineData("{{ 'open }}", "string does not end")]
    [InlineData("{% endfor %}", "not expected")]
    public void A_template_that_cannot_be_read_names_its_line(string template, string expected)
    {
        DroverException failure = Assert.Throws<DroverException>(() => ChatTemplate.Parse(template));
        Assert.Equal(FailureCode.InvalidArgument, failure.Code);
        Assert.Contains(expected, failure.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{{ raise_exception('only users here') }}", "only users here")]
    [InlineData("\n{{ missing.member }}", "line 2")]
    [InlineData("{{ 'a' | nofilter }}", "'nofilter'")]
    [InlineData("{{ messages.append(1) }}", "may not")]
    [InlineData("{{ 1 // 0 }}", "division by zero")]
    [InlineData("{% for a in range(9999) %}{% for b in range(9999) %}{{ a * b }}{% endfor %}{% endfor %}", "too many steps")]
    [InlineData("{% for i in range(60) %}{% set ns = namespace(s='x') %}{% for j in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}{% endfor %}", "")]
    [InlineData("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "too deep")]
    public void A_template_that_cannot_write_ends_with_a_reason(string template, string expected)
    {
        DroverException failure = Assert.Throws<DroverException>(() => Render(template));
        Assert.Equal(FailureCode.InvalidArgument, failure.Code);
        Assert.Contains(expected, failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Generation_blocks_are_told_by_where_they_stand_in_the_text()
    {
        RenderedChat chat = Render("{% for m in messages %}<{{ m.role }}>{% generation %}{{ m.content }}{% endgeneration %}\n{% endfor %}");
        Assert.Equal(["Hi", "Hello"], chat.Generated.Select(g => chat.Text[g.Start..g.End]));
    }

    [Fact]
    public void Dates_are_those_of_the_clock()
    {
        var clock = new FakeTimeProvider(new DateTimeOffset(2024, 7, 6, 15, 4, 5, TimeSpan.Zero));
        clock.SetLocalTimeZone(TimeZoneInfo.Utc);
        Assert.Equal("06 Jul 2024, July 6, 15:04", Render("{{ strftime_now('%d %b %Y, %B %-d, %H:%M') }}", clock).Text);
    }

    private static RenderedChat Render(string template, TimeProvider? clock = null) =>
        ChatTemplate.Parse(template, clock).Render(
            JsonElement.Parse("""[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]"""), false, null, TestContext.Current.CancellationToken);
}
